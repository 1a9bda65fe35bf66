"""A configuration of transformers as a factory: the model of its class at any value of the fields that grow.

transformers is not imported here: a configuration brings it. Its fields are numbers, or lists of numbers of one size
each (`hidden_sizes`); fields that the class computes from others when it is made (`head_dim`) follow by themselves.
"""

# transformers has no types that say what its classes hold.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import nn

from scalerules.boundary.guard import said
from scalerules.errors import ScaleRulesError, UnknownName

from .factories import quiet

Fields: TypeAlias = dict[str, Any]
"""Values of fields by their names."""

OWN = ("transformers_version", "model_type", "architectures", "torch_dtype", "dtype")
"""What a configuration holds beside the fields of its class."""
AUTOMATIC = ("SpeechSeq2Seq", "Seq2SeqLM", "MaskedLM", "CausalLM", "ImageClassification", "CTC")
"""The automatic classes of transformers, tried in turn where a configuration names no model; then the plain one."""
TOKENS, TIME = 2, 7
"""Rows and columns of the token indices that a model is called with where no inputs are given."""


class Configured:
    """The models of one configuration at other values of its fields."""

    def __init__(self, configuration: Any) -> None:
        with quiet():
            if isinstance(configuration, type):
                configuration = configuration()
            self.kind = type(configuration)
            self.model = _model_class(configuration)
            self.fields = _own_fields(configuration)

    def with_fields(self, changed: Mapping[str, Any]) -> Any:
        """The configuration with other values of some fields."""
        with quiet():
            return self.kind(**{**self.fields, **changed})

    def make(self, changed: Mapping[str, Any]) -> nn.Module:
        """The model with other values of some fields."""
        return cast(nn.Module, self.model(self.with_fields(changed)))

    def inputs(self, changed: Mapping[str, Any]) -> dict[str, Any]:
        """What the model is called with: tokens or pictures, with labels where it takes them.

        Raises `ScaleRulesError` for a model that is called with something else.
        """
        import inspect

        taken = inspect.signature(self.model.forward).parameters
        name = str(getattr(self.model, "main_input_name", "input_ids"))
        configuration = self.with_fields(changed)
        given: dict[str, Any] = {}
        if name == "input_ids":
            given[name] = torch.arange(TOKENS * TIME).reshape(TOKENS, TIME) % configuration.vocab_size
            given |= {"labels": given[name]} if "labels" in taken else {}
            given |= {"use_cache": False} if "use_cache" in taken else {}
            if getattr(configuration, "is_encoder_decoder", False) and "labels" not in taken:
                given["decoder_input_ids"] = given[name]
        elif name == "pixel_values" and hasattr(configuration, "num_channels"):
            size = getattr(configuration, "image_size", 32)
            height, width = size if isinstance(size, Sequence) else (size, size)
            given[name] = torch.ones(TOKENS, configuration.num_channels, height, width)
            given |= {"labels": torch.arange(TOKENS) % configuration.num_labels} if "labels" in taken else {}
        else:
            what = f"{self.model.__name__} is called with {name!r}, and what that is is not known"
            raise ScaleRulesError(what, hint="give inputs={...}, what the model is called with")
        return given

    def numbers(self, name: str) -> tuple[int, ...]:
        """The numbers of a field. Raises `ScaleRulesError` for a field that is not there or has none."""
        known = [field for field in self.fields if _numbers(self.fields[field])]
        if name not in self.fields and name in (aliases := getattr(self.kind, "attribute_map", {})):
            raise UnknownName("field", name, known, where=f"{self.kind.__name__}, which calls it {aliases[name]!r}")
        if name not in self.fields and not hasattr(self.kind(**self.fields), name):
            raise UnknownName("field", name, known, where=self.kind.__name__)
        value = self.fields.get(name, getattr(self.kind(**self.fields), name, None))
        numbers = _numbers(value)
        if not numbers:
            what = f"the field {name!r} is {value!r}: no size that can grow"
            raise ScaleRulesError(what, where=self.kind.__name__, hint=f"one of: {', '.join(known)}")
        return numbers


def grown(value: Any, by: int, of: int) -> Any:
    """A field's value times `by / of`, at least 1; where that is no whole number, the nearest one."""
    if isinstance(value, Sequence):
        return type(value)([grown(each, by, of) for each in value])  # pyright: ignore[reportCallIssue]
    return max(1, round(value * by / of))


def unit(numbers: Sequence[int]) -> int:
    """The largest number that divides all: `1 / unit` of them is the smallest model of the same proportions."""
    return math.gcd(*numbers)


def _numbers(value: object) -> tuple[int, ...]:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return (value,)
    if isinstance(value, (list, tuple)) and value and all(_numbers(each) for each in cast("list[object]", value)):
        return tuple(cast("list[int]", value))
    return ()


def _own_fields(configuration: Any) -> Fields:
    """The fields that the class does not compute by itself from the others."""
    kind = type(configuration)
    fields = {name: value for name, value in configuration.to_dict().items() if name not in OWN}
    for name in list(fields):
        rest = {other: value for other, value in fields.items() if other != name}
        try:
            same = kind(**rest).to_dict().get(name) == fields[name]
        except Exception:  # it cannot do without this field
            same = False
        if same and (not _numbers(fields[name]) or _computed(kind, rest, name, fields[name])):
            fields = rest
    return fields


def _computed(kind: Any, rest: Fields, name: str, value: Any) -> bool:
    """Whether the class computes a field: it is another one where other fields are others."""
    for other in [field for field in rest if _numbers(rest[field])]:
        try:
            if kind(**{**rest, other: grown(rest[other], 2, 1)}).to_dict().get(name) != value:
                return True
        except Exception:  # not with that value
            continue
    return False


def _model_class(configuration: Any) -> Any:
    """The class that a configuration names, or the one that transformers has for it."""
    library = importlib.import_module("transformers")
    for name in getattr(configuration, "architectures", None) or ():
        if not hasattr(library, name):
            raise ScaleRulesError(f"transformers has no model {name!r}, which the configuration names")
        return getattr(library, name)
    for name in (*(f"AutoModelFor{task}" for task in AUTOMATIC), "AutoModel"):
        mapping = getattr(getattr(library, name, None), "_model_mapping", {})
        try:
            found = mapping[type(configuration)]
        except KeyError:
            continue
        return found[0] if isinstance(found, (list, tuple)) else found
    what = f"transformers has no model for {type(configuration).__name__}"
    raise ScaleRulesError(what, hint="name its class in the configuration: architectures=['LlamaForCausalLM']")


def built(configured: Configured, changed: Mapping[str, Any]) -> nn.Module:
    """A model without memory. Raises `ScaleRulesError` with the fields where it cannot be built."""
    try:
        with quiet(), torch.device("meta"):
            return configured.make(changed)
    except Exception as error:
        values = ", ".join(f"{name}={value}" for name, value in changed.items())
        raise ScaleRulesError(f"{configured.kind.__name__} does not build at {values}: {said(error)}") from error
