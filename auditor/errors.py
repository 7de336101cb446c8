"""The exceptions of audit, one tree; each message says what to do next.

AuditError
├── DatasetError     folder empty, annotation file missing or unreadable, class unknown
├── BackboneError    name not in the catalog, weights not available or not matching
├── IndexMissing     no manifest: build it
├── IndexMismatch    made with another backbone, grid, head or schema version
├── IndexDamaged     a checksum does not hold
├── IndexBusy        another process is writing it
└── CellError        a cell outside the grid, or an image that is not indexed
"""


class AuditError(Exception):
    """Base of every error that audit raises on purpose; the CLI prints it and exits with 1."""


class DatasetError(AuditError):
    """The images or their annotations cannot be read."""


class BackboneError(AuditError):
    """The backbone, its weights or its head cannot be used."""


class IndexMissing(AuditError):
    """There is no index at this place."""


class IndexMismatch(AuditError):
    """The index was made with something else than what is asked of it."""


class IndexDamaged(AuditError):
    """A file of the index is not what the manifest says."""


class IndexBusy(AuditError):
    """Another process is writing this index."""


class CellError(AuditError):
    """The cell or the image that was named is not in the index."""
