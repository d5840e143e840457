"""A run on disk: its folder, manifest, lock, signals and errors."""
