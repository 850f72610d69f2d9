"""What figures have in common: layout, attacked results, images."""
