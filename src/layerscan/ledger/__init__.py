"""Where every byte of a store is, and what would be given back."""
