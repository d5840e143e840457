"""What every room uses: strings, files, seeds, images, checked fields, workers."""
