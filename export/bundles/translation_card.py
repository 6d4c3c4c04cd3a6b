"""`card.md` of a translator's bundle: the manifest for people to read."""

from __future__ import annotations

from last_edge.bundle.manifest import SEARCH, TOKENIZER, Manifest, decoder_of, encoder_precisions

FIGURES = ("bleu1", "bleu2", "bleu3", "bleu4", "chrf", "wer", "exact", "repetition", "n", "split")


def render(manifest: Manifest, *, sizes: dict[str, int]) -> str:
    """Markdown of a bundle; sizes: bytes of each file."""
    spec, model = manifest.input, manifest.model
    decoders = " or ".join(dict.fromkeys(f"`{decoder_of(manifest, name)}`" for name in encoder_precisions(manifest)))
    head = (
        f"# {manifest.name}\n\n`{model.name}`, {model.params:,} parameters, {len(manifest.labels)} sub-words, at most "
        f"{spec.frames} frames of {spec.layout.joints} points (`{spec.layout.name}`).\n"
    )
    door = (
        f"## Input\n\n- The encoder takes `landmarks` float32 (N, T, {spec.layout.joints}, {spec.channels}), NaN where "
        f"a point is missing and behind the end of a clip; T up to {spec.frames}.\n- Units: `{manifest.units}`. Axes: "
        f"{manifest.axes}.\n- {decoders} gives one sub-word after the other and keeps what it has read; `{SEARCH}` "
        f"says how sentences are searched, `{TOKENIZER}` spells them.\n"
    )
    files = "".join(f"| `{name}` | {size:,} |\n" for name, size in sorted(sizes.items()))
    return "\n".join(
        [head, _figures(manifest), door, f"## Files\n\n| file | bytes |\n|---|---|\n{files}", _origin(manifest)]
    )


def _figures(manifest: Manifest) -> str:
    """Measured figures, a row for each encoder."""
    rows = [(name, manifest.metrics[name]) for name in encoder_precisions(manifest) if name in manifest.metrics]
    if not rows:
        return "Not measured: export with `--store`.\n"
    heading = f"| encoder | {' | '.join(FIGURES)} |\n|{'---|' * (len(FIGURES) + 1)}\n"
    lines = "".join(f"| {name} | {' | '.join(str(row.get(key, '')) for key in FIGURES)} |\n" for name, row in rows)
    return f"## Measured on the exported files (percent)\n\n{heading}{lines}"


def _origin(manifest: Manifest) -> str:
    origin = manifest.provenance
    return (
        f"## Origin\n\nTrained on the store {origin.data_sha256}, commit {origin.trained_commit or 'unknown'}; "
        f"exported by commit {origin.commit or 'unknown'}.\n\nTerms of the data: {manifest.licence}.\n"
    )
