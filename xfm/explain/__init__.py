"""Looking inside: which loss shapes what, and what a trained model looks at."""
