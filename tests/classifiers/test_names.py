"""Names of classifiers with switches: one way to write each, and a reason for every refusal."""

import pytest

from classifiers.names import canonical_name, find_entry, join_name, split_name
from classifiers.registry import CLASSIFIERS, build


@pytest.mark.parametrize("name", ["vit", "a[b=c]", "a[b=c,d=e]", "timm:resnet18.a1_in1k"])
def test_a_name_is_what_its_parts_make(name: str) -> None:
    assert join_name(*split_name(name)) == name


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("resvit_gannet[alignment=on]", "resvit_gannet"),
        ("resvit_gannet[tama=off, alignment=off]", "resvit_gannet[alignment=off,tama=off]"),
        ("dalaresnet50_small[variant=head]", "dalaresnet50_small[variant=head]"),
        ("timm:convnext_tiny", "timm:convnext_tiny"),
    ],
)
def test_a_classifier_is_written_in_one_way(name: str, short: str) -> None:
    assert canonical_name(name, CLASSIFIERS) == short


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_value_of_every_switch_is_found_and_the_first_is_the_default(name: str) -> None:
    for key, values in CLASSIFIERS[name].switches.items():
        assert len(values) > 1
        for value in values:
            assert find_entry(f"{name}[{key}={value}]", CLASSIFIERS)[1][key] == value
        assert find_entry(name, CLASSIFIERS)[1][key] == values[0]


def test_a_switch_reaches_the_model() -> None:
    whole, ablated = (
        build(name, 2, image_size_px=32) for name in ("resvit_gannet_small", "resvit_gannet_small[tama=off]")
    )
    assert "merge.gate.weight" in whole.state_dict()
    assert "merge.gate.weight" not in ablated.state_dict()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resvit_gannet[colour=off]", "unknown switch 'colour'.*alignment"),
        ("resvit_gannet[tama=maybe]", "tama=maybe.*on or off"),
        ("resvit_gannet[tama", "expected name"),
        ("resvit_gannet[tama]", "expected switch=value"),
        ("resvit_gannet[tama=on,tama=off]", "each switch once"),
        ("efficientnet_lite0[a=b]", "it has no switch"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        build(name, 2)
