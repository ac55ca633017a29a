"""What is learned and kept: model versions, the promotion gate, metrics and tracking."""
