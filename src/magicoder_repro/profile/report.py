"""The figures and the report of a profile, and what its runs are held to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from magicoder_repro.profile.base import Strict


class Analysis(Strict):
    similarity_bins: int = Field(gt=0)
    length_bin: int = Field(gt=0, description="tokens")
    length_max: int = Field(gt=0, description="tokens")
    tokenizer: str = Field(description="a tiktoken encoding (the paper: cl100k_base), or a model of this profile")


class Regress(Strict):
    """What `magicoder regress` calls a regression of this profile's runs."""

    policy: Literal["exact", "paired", "tolerance"] = Field(
        default="tolerance", description="every verdict; a paired test by task; each number by the recorded runs"
    )
    margin: float = Field(
        default=2.0, ge=0, le=100, description="paired: percentage points that a cell may lose in any case"
    )
    alpha: float = Field(default=0.05, gt=0, lt=1, description="paired: of all cells together, after Holm")
    missing: Literal["fail", "warn", "ignore"] = Field(
        default="fail", description="what a cell, number or task that is gone does"
    )
    changed: Literal["fail", "warn"] = Field(
        default="fail", description="what another data set, protocol, scorer or clean-up of a cell does"
    )


class Report(Strict):
    recorded: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)] | None = Field(
        description="folder under results/ that this run is compared with: a plain name"
    )
    comparable: bool = Field(description="whether the paper's numbers are of the same models")
    margin: float = Field(
        default=5.0, gt=0, le=100, description="points: a difference below it does not matter in practice"
    )
    noise: list[str] = Field(
        default=[],
        description="files that `magicoder agreement -o` has written of this profile's models: what chance may move in a cell",
    )
    regress: Regress = Regress()
