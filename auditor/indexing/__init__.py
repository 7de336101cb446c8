"""Dataset x backbone x head -> shards -> index: the one room that knows them all."""
