"""Tasks of the drawn world, for a frozen model: a file a task, with what it `NEEDS` of the data and its `score`."""
