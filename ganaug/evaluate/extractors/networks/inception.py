"""Inception, the network that FID and KID are defined on."""

from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs, unit_scale
from ganaug.provenance import digest_of_file


def inception(inputs: ExtractorInputs) -> Extractor:
    """The Inception network of FID and KID, as torch-fidelity has it: 2048 features, images resized to 299 px."""
    path, name = inputs.find_published("inception")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # It unpickles the file, which is safe only because `find_published` knows every byte of it; given a path it
    # downloads nothing.
    net = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    net = net.to(inputs.compute.device).eval()
    preprocessing = "299 px, bilinear as TensorFlow 1 did it, pool3 of 2048"
    return Extractor(
        name,
        digest_of_file(path),
        preprocessing,
        lambda img: net(img)[0],
        inputs.compute.device,
        feature_scale=unit_scale,
        num_features=2048,
        figure_names={"frechet": "FID", "kernel": "KID"},
    )
