"""Backbones with labelled sites, decoders, weights, and the segmenter made of them."""
