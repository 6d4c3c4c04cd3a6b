"""The deployable artefact: models, manifest, golden tensors. A folder, or one `.last` archive. numpy only."""

from last_edge.bundle.golden import Golden
from last_edge.bundle.manifest import Manifest, ModelInfo, Provenance
from last_edge.bundle.reader import Bundle, is_bundle
from last_edge.bundle.writer import rewrite_bundle, write_bundle

__all__ = ["Bundle", "Golden", "Manifest", "ModelInfo", "Provenance", "is_bundle", "rewrite_bundle", "write_bundle"]
