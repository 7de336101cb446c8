"""The exceptions of audit, one tree; each message says what to do next, and each kind has its exit code.

AuditError               1
├── DatasetError         1   folder empty, annotation file missing or unreadable, class unknown
│   └── ImageError       1   one image file cannot be read, with a code
├── TooMuchBadData       3   more images or annotations could not be read than were allowed
├── BackboneError        1   name not in the catalog, weights not available or not matching
├── IndexMissing         1   no manifest: build it
├── IndexMismatch        4   made with another backbone, grid, head or schema version
├── IndexDamaged         4   a checksum does not hold, or an index cannot be read
├── IndexBusy           75   another process is writing it
├── OutputError         74   a file cannot be read or written: disk full, read-only, no permission
└── CellError            1   a cell outside the grid, or an image that is not indexed
"""


class AuditError(Exception):
    """Base of every error that audit raises on purpose; each argument is a line, the first says it all."""

    exit_code = 1

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))


class DatasetError(AuditError):
    """The images or their annotations cannot be read."""


class ImageError(DatasetError):
    """An image file cannot be read; `code` is why, in one word.

    missing, empty, corrupt (a format that is read, broken), unsupported, too_large, unreadable.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class TooMuchBadData(AuditError):
    """More of the data could not be read than was allowed; what could be read is written all the same."""

    exit_code = 3


class BackboneError(AuditError):
    """The backbone, its weights or its head cannot be used."""


class IndexMissing(AuditError):
    """There is no index at this place."""


class IndexMismatch(AuditError):
    """The index was made with something else than what is asked of it."""

    exit_code = 4


class IndexDamaged(AuditError):
    """A file of the index is not what the manifest says."""

    exit_code = 4


class IndexBusy(AuditError):
    """Another process is writing this index."""

    exit_code = 75  # sysexits' EX_TEMPFAIL: try again later


class OutputError(AuditError):
    """A file cannot be read or written: the disk is full, it is read-only, or the place forbids it."""

    exit_code = 74  # sysexits' EX_IOERR


class CellError(AuditError):
    """The cell or the image that was named is not in the index."""


def first_line(error: BaseException) -> str:
    """What an error of another library says, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
