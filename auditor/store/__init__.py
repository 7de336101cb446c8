"""The index on disk: immutable shards, the manifest that knows them, and what is derived from them."""

from auditor.store.index import Index
from auditor.store.listing import list_indexes, newest
from auditor.store.manifest import (
    BackboneFacts,
    DatasetFacts,
    HeadFacts,
    Manifest,
    ShardEntry,
    read_manifest,
)
from auditor.store.map_file import find_map, save_map
from auditor.store.shards import (
    Staged,
    promote_staged,
    read_staged,
    staged_names,
    write_shard,
    write_staged,
)
from auditor.store.writer import IndexWriter

__all__ = [
    "BackboneFacts",
    "DatasetFacts",
    "HeadFacts",
    "Index",
    "IndexWriter",
    "Manifest",
    "ShardEntry",
    "Staged",
    "find_map",
    "list_indexes",
    "newest",
    "promote_staged",
    "read_manifest",
    "read_staged",
    "save_map",
    "staged_names",
    "write_shard",
    "write_staged",
]
