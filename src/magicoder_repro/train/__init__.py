"""Fine-tuning: tokenisation, masking and the paper's recipe."""
