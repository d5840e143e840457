"""What torch's own operations do as well, to the same values, and a CPU does faster in these. Dropout draws its own."""
