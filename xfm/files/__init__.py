"""User data: pictures and texts in files, whatever their format."""
