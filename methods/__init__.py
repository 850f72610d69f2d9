"""Methods: one head a file; backbones and graph numerics in folders."""
