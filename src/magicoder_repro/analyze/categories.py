"""What kinds of problems a set has (the paper's Figure 6): each solution counts for the nearest of ten queries, by cosine.

The paper's embeddings are INSTRUCTOR's, with an instruction before each text. Here any encoder of sentence-transformers' plain form
does (the mean over tokens, no instruction), a folder of the user's: counts are that model's, and the figure bears its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from magicoder_repro import records
from magicoder_repro.artifact import content_sha256
from magicoder_repro.benchmarks.base import data_folder
from magicoder_repro.errors import UsageError
from magicoder_repro.progress import Bar

FOLDER = "embeddings"
"""Where the encoder's folder is looked for under MAGICODER_DATA."""
CATEGORIES = (
    "Algorithmic and Data Structure",
    "Mathematical and Computational",
    "Database and SQL",
    "System Design and Architecture",
    "Security and Cryptography",
    "Performance Optimization",
    "Web",
    "Domain Specific",
    "User Interface and Application Design",
    "Data Science and Machine Learning",
)
_BATCH = 32
_MODULES = {"Transformer", "Pooling", "Normalize"}
Modules = list[dict[str, Any]]


def find() -> Path | None:
    """The encoder's folder, as `embeddings/all-MiniLM-L6-v2`; None when it is not at hand."""
    found = sorted(path.parent for path in (data_folder() / FOLDER).glob("*/modules.json"))
    if len(found) > 1:
        raise UsageError(f"{data_folder() / FOLDER}: {', '.join(path.name for path in found)}: leave one encoder there")
    return found[0] if found else None


def facts() -> Mapping[str, Any]:
    """The hash of the encoder, where there is one."""
    folder = find()
    return {} if folder is None else {"categories": content_sha256(folder)}


class Encoder:
    """A sentence-transformers model: token vectors' mean, of length 1."""

    def __init__(self, folder: Path) -> None:
        """A UsageError where it is of another form than that."""
        import torch
        from transformers import AutoModel, AutoTokenizer

        _check(folder)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
            self._model: Any = AutoModel.from_pretrained(folder).to(self._device).eval()
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(
                f"{folder}: no encoder that transformers loads ({' '.join(str(error).split())[:200]})"
            ) from None
        positions = int(self._model.config.max_position_embeddings)
        own = folder / "sentence_bert_config.json"
        self._longest = min(positions, records.read_json(own)["max_seq_length"] if own.is_file() else positions)

    def vectors(self, texts: Sequence[str]) -> Any:
        """Texts, each cut off where the model's context ends -> a float32 tensor (texts, width)."""
        import torch

        given = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._longest, return_tensors="pt"
        )
        given = given.to(self._device)
        with torch.inference_mode():
            states = self._model(**given).last_hidden_state.float()
        mask = given["attention_mask"][:, :, None]
        means = (states * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return torch.nn.functional.normalize(means, dim=1)


def count(encoder: Encoder, texts: Sequence[str], progress: Bar) -> dict[str, int]:
    """How many texts are of each category, in their order."""
    queries = encoder.vectors([f"{name} Problems" for name in CATEGORIES])
    found: Counter[str] = Counter()
    ordered = sorted(texts, key=len)  # so that a batch has little padding
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        nearest = (encoder.vectors(batch) @ queries.T).argmax(dim=1)
        found.update(CATEGORIES[place] for place in nearest.tolist())
        progress.advance(len(batch))
    return {name: found[name] for name in CATEGORIES}


def draw(counts: Mapping[str, Mapping[str, int]], names: Mapping[str, str], encoder: str) -> Any:
    """A bar for each category and set: its share of the set's records."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    height = 0.8 / len(counts)
    for place, (name, found) in enumerate(counts.items()):
        total = max(1, sum(found.values()))
        at = [row + (place - (len(counts) - 1) / 2) * height for row in range(len(CATEGORIES))]
        axes.barh(at, [100 * found[category] / total for category in CATEGORIES], 0.9 * height, label=names[name])
    axes.set_yticks(range(len(CATEGORIES)), CATEGORIES)
    axes.invert_yaxis()
    axes.set(xlabel=f"% of the records, by {encoder} (the paper: INSTRUCTOR)")
    axes.legend(frameon=False)
    return figure


def _check(folder: Path) -> None:
    modules = records.read_json(folder / "modules.json")
    kinds = {str(one.get("type")).rpartition(".")[2] for one in modules} if _is_list(modules) else {"nothing"}
    if other := kinds - _MODULES:
        raise UsageError(
            f"{folder / 'modules.json'}: {', '.join(sorted(other))}: give an encoder without further layers"
        )
    pooling = folder / "1_Pooling" / "config.json"
    if not records.read_json(pooling).get("pooling_mode_mean_tokens"):
        raise UsageError(f"{pooling}: pooling_mode_mean_tokens: give an encoder that takes the mean over tokens")


def _is_list(modules: Any) -> bool:
    return isinstance(modules, list) and all(isinstance(one, dict) for one in modules)
