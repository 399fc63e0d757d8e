"""The HTML page and the folder of everything."""
