"""What methods and backbones are made of: heads, terms, models, their capabilities, and helpers."""
