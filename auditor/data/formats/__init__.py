"""One file per kind of dataset; `auditor.data.read` tries them in order."""
