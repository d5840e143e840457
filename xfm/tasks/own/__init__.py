"""Tasks to fine-tune on, of the bundled data and of user data."""
