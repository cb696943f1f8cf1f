// Reads calls of the operators from standard input, writes their results to standard output: test_cuda_emulation.py.
#include <cstdio>
#include <cstdlib>

#include "cuda/launch.h"

using namespace ganaug::cuda;

template <typename T>
T read_one() {
  T value;
  if (std::fread(&value, sizeof(T), 1, stdin) != 1) std::abort();
  return value;
}

int64_t integer() { return read_one<int64_t>(); }

// Memory that ends where the data ends, and begins `offset` bytes after a multiple of 16.
struct Buffer {
  char *memory = nullptr, *data = nullptr;
  int64_t size = 0;

  Buffer() = default;
  Buffer(int64_t size, int64_t offset)
      : memory(static_cast<char*>(std::malloc(size + offset))), data(memory + offset), size(size) {
    for (int64_t i = 0; i < size; ++i) data[i] = char(0xff);  // NaN in every type
  }
  void read() {
    if (size && std::fread(data, size, 1, stdin) != 1) std::abort();
  }
  void write() const { std::fwrite(data, size, 1, stdout); }
  ~Buffer() { std::free(memory); }
  Buffer(const Buffer&) = delete;
};

void bias_act(int64_t offset, int64_t item) {
  const auto type = Type(integer());
  const auto op = BiasActOp(integer());
  const int64_t size = integer(), channels = integer(), inner = integer(), act = integer(), has_b = integer();
  const double alpha = read_one<double>(), gain = read_one<double>(), clamp = read_one<double>();
  BiasActCall call{type, op, size, channels, inner, int(act), alpha, gain, clamp};
  const bool with_db = op == BiasActOp::adjoint && has_b;
  Buffer x(size * item, offset), out(size * item, offset), y(op == BiasActOp::forward ? 0 : size * item, offset);
  Buffer b(has_b && !with_db ? channels * item : 0, offset), db(with_db ? channels * item : 0, 0);
  Buffer partial(with_db ? channels * pieces_of(call) * (item == 8 ? 8 : 4) : 0, 0);
  x.read(), y.read(), b.read();
  call.x = x.data, call.out = out.data;
  call.y = y.size ? y.data : nullptr, call.b = b.size ? b.data : nullptr;
  call.db = db.size ? db.data : nullptr, call.partial = partial.size ? partial.data : nullptr;
  launch(call, nullptr);
  out.write(), db.write();
}

void upfirdn2d(int64_t offset, int64_t item) {
  UpFirDn2dCall call{};
  call.type = Type(integer()), call.channels_last = integer();
  call.images = integer(), call.channels = integer(), call.in_height = integer(), call.in_width = integer();
  call.out_height = integer(), call.out_width = integer();
  call.up_x = int(integer()), call.up_y = int(integer()), call.down_x = int(integer()), call.down_y = int(integer());
  call.left = integer(), call.top = integer(), call.taps_x = int(integer()), call.taps_y = int(integer());
  call.gain = read_one<double>();
  const int64_t planes = call.images * call.channels;
  Buffer f(call.taps_x * call.taps_y * 4, 0), x(planes * call.in_height * call.in_width * item, offset);
  Buffer out(planes * call.out_height * call.out_width * item, offset);
  f.read(), x.read();
  call.f = reinterpret_cast<const float*>(f.data), call.x = x.data, call.out = out.data;
  launch(call, nullptr);
  out.write();
}

int main() {
  for (int64_t operation = integer(); operation != 0; operation = integer()) {
    const int64_t offset = integer(), item = integer();
    operation == 1 ? bias_act(offset, item) : upfirdn2d(offset, item);
  }
  return 0;
}
