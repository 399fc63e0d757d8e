"""Formula-driven pre-training of the tiny ViT: images from formulas alone, no photograph, no medical volume."""
