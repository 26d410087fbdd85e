from __future__ import annotations

from math import prod

import numpy as np
import pytest

from packhouse.worker.models.generated import GENERATED, generated
from packhouse.worker.models.sizes import MOST_ELEMENTS, Input, tries


@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0, 4)])
@pytest.mark.parametrize("element", sorted(GENERATED))
def test_every_element_type_comes_in_the_shape_that_was_asked_for(element: str, shape: tuple[int, ...]) -> None:
    assert generated(element, shape).shape == shape


def test_values_follow_the_rule_row_by_row() -> None:
    assert generated("double", (2, 3)).tolist() == [[3 / 17, 10 / 17, 0.0], [7 / 17, 14 / 17, 4 / 17]]
    assert generated("float16", (2,)).dtype == np.float16
    assert generated("uint8", (3,)).tolist() == [0, 1, 0]
    assert generated("bool", (3,)).tolist() == [False, True, False]
    assert generated("string", (2,)).tolist() == ["text", "text"]
    assert generated("int64", ()).tolist() == 0
    assert generated("float", ()).tolist() == np.float32(3 / 17)


def test_bfloat16_is_the_nearest_upper_half_of_a_float() -> None:
    bits = generated("bfloat16", (17,)).astype(np.uint32) << 16
    exact = np.array([((i * 7 + 3) % 17) / 17 for i in range(17)])
    assert np.abs(bits.view(np.float32) - exact).max() <= 2.0**-9


def test_every_open_dimension_is_one_first() -> None:
    first = next(
        tries([Input("x", "float", (None, 3, "h", "w")), Input("s", "int64", ()), Input("y", "float", ("h",))])
    )
    assert first == {"x": (1, 3, 1, 1), "s": (), "y": (1,)}


def test_a_name_stands_for_one_size_everywhere_and_fixed_dimensions_stay() -> None:
    for shapes in tries([Input("a", "float", ("batch", "n", 7)), Input("b", "float", ("n", "batch"))]):
        assert shapes["a"][2] == 7
        assert shapes["a"][1] == shapes["b"][0]
        assert shapes["a"][0] == shapes["b"][1]


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((None, 3, None, None), (1, 3, 640, 640)),
        (("batch", None, "height", "width"), (1, 3, 224, 224)),
        ((None, None, None, 3), (1, 320, 320, 3)),
        ((None, None), (1, 512)),
        ((2, None, 128), (2, 1, 128)),
        ((1, 1, 64, "w"), (1, 1, 64, 320)),
        ((None, 80, "time"), (1, 80, 3000)),
    ],
)
def test_usual_sizes_are_among_those_tried(shape: tuple[int | str | None, ...], wanted: tuple[int, ...]) -> None:
    assert {"x": wanted} in list(tries([Input("x", "float", shape)]))


def test_what_is_past_and_what_is_new_make_the_total() -> None:
    tried = list(
        tries(
            [
                Input("input_ids", "int64", ("batch_size", "sequence_length")),
                Input("attention_mask", "int64", ("batch_size", "past_sequence_length + sequence_length")),
                Input("past.0", "float", ("batch_size", 4, "past_sequence_length", 8)),
            ]
        )
    )
    assert {"input_ids": (1, 1), "attention_mask": (1, 1), "past.0": (1, 4, 0, 8)} in tried
    assert {"input_ids": (1, 8), "attention_mask": (1, 9), "past.0": (1, 4, 1, 8)} in tried


def test_of_an_unknown_rank_several_are_tried() -> None:
    assert {len(shapes["x"]) for shapes in tries([Input("x", "float", None)])} == {0, 1, 2, 3, 4}


def test_tries_are_few_and_different_and_none_is_huge() -> None:
    inputs = [Input("x", "float", (None,) * 4), Input("y", "float", None), Input("z", "float", ("n",) * 6)]
    tried = list(tries(inputs))
    assert 10 < len(tried) <= 48
    assert len({tuple(shapes.items()) for shapes in tried}) == len(tried)
    assert all(sum(prod(shape) for shape in shapes.values()) <= MOST_ELEMENTS for shapes in tried)
    assert list(tries([Input("x", "float", (1 << 40, None))])) == []


def test_a_model_without_inputs_is_run_once() -> None:
    assert list(tries([])) == [{}]
