"""Batches of training patches from prepared cases."""
