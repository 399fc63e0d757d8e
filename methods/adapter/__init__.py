"""Small networks between or beside the frozen layers; every slice is an image for itself."""
