"""The index on disk: shards that describe themselves, the plan before them, and what is derived from them."""

from auditor.store.blocks import FileFacts
from auditor.store.generations import Generation, read_current
from auditor.store.index import Index
from auditor.store.listing import list_indexes, newest, summary_of
from auditor.store.manifest import BackboneFacts, DatasetFacts, HeadFacts, Manifest, read_manifest
from auditor.store.map_file import find_map, made_with, query_map, save_map, stored_map
from auditor.store.once import once
from auditor.store.placement import Placed, Placement, read_placement
from auditor.store.shards import (
    Shard,
    Staged,
    promote_staged,
    read_shard,
    read_staged,
    staged_names,
    write_shard,
    write_staged,
)
from auditor.store.writer import IndexWriter

__all__ = [
    "BackboneFacts",
    "DatasetFacts",
    "FileFacts",
    "Generation",
    "HeadFacts",
    "Index",
    "IndexWriter",
    "Manifest",
    "Placed",
    "Placement",
    "Shard",
    "Staged",
    "find_map",
    "list_indexes",
    "made_with",
    "newest",
    "once",
    "promote_staged",
    "query_map",
    "read_current",
    "read_manifest",
    "read_placement",
    "read_shard",
    "read_staged",
    "save_map",
    "staged_names",
    "stored_map",
    "summary_of",
    "write_shard",
    "write_staged",
]
