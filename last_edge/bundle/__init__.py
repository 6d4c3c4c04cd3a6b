"""The deployable artefact: models, manifest, golden tensors. A folder, or one `.last` archive. numpy only."""

from last_edge.bundle.bundle import Bundle, Golden, rewrite_bundle, write_bundle
from last_edge.bundle.manifest import Manifest, ModelInfo, Provenance
from last_edge.bundle.zoo import is_bundle

__all__ = ["Bundle", "Golden", "Manifest", "ModelInfo", "Provenance", "is_bundle", "rewrite_bundle", "write_bundle"]
