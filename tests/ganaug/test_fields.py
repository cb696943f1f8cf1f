"""Values of JSON for the fields of a configuration: those of another kind are refused by name, before they are used."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganaug.config import GanConfig, NetworkConfig, gan_config_from_dict, to_dict
from ganaug.errors import ConfigError

CONFIG = to_dict(GanConfig(NetworkConfig(16, 4, channel_base=128, channel_max=16), total_kimg=2.0))
FIELDS = [(name,) for name in CONFIG if name != "network"] + [("network", name) for name in CONFIG["network"]]
leaves = st.none() | st.booleans() | st.integers() | st.integers(2**62, 2**70) | st.floats() | st.text(max_size=5)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2))


def with_value(field: tuple[str, ...], value: Any) -> dict[str, Any]:
    if len(field) == 1:
        return {**CONFIG, field[0]: value}
    return {**CONFIG, "network": {**CONFIG["network"], field[1]: value}}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(field=st.sampled_from(FIELDS), value=values)
def test_any_json_value_of_any_field_is_taken_or_refused(field: tuple[str, ...], value: Any) -> None:
    try:
        config = gan_config_from_dict(with_value(field, value))
    except ConfigError:
        return
    assert type(to_dict(config)["total_kimg"]) in (int, float)
    assert config.network.channels(config.network.resolution_px) >= 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (("batch",), "32"), (("batch",), True), (("batch",), 2**63), (("total_kimg",), float("nan")),
        (("transition_kimg",), [1.0]), (("transition_kimg",), [1.0, "2"]), (("ada_pipeline",), ["none"]),
        (("dihedral",), 1), (("network", "z_dim"), 16.0), (("network", "conv_clamp"), float("inf")),
        (("network", "mapping_layers"), []), (("network", "num_half"), None),
    ],
)  # fmt: skip
def test_a_value_of_another_kind_is_refused_by_the_name_of_its_field(field: tuple[str, ...], value: Any) -> None:
    with pytest.raises(ConfigError, match=field[-1]):
        gan_config_from_dict(with_value(field, value))


@pytest.mark.parametrize(
    ("field", "value"), [(("total_kimg",), 2), (("transition_kimg",), [0, 1.5]), (("init",), "ab")]
)
def test_whole_numbers_and_lists_stand_for_floats_and_tuples(field: tuple[str, ...], value: Any) -> None:
    assert gan_config_from_dict(with_value(field, value)) == gan_config_from_dict(
        with_value(field, tuple(value) if isinstance(value, list) else value)
    )


@pytest.mark.parametrize("network", [None, 5, [], "x", {}, {"resolution_px": 16}, {**CONFIG["network"], "more": 1}])
def test_a_network_that_is_none_is_refused(network: Any) -> None:
    with pytest.raises(ConfigError):
        gan_config_from_dict({**CONFIG, "network": network})
