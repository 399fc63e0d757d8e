"""What can be chosen: methods, data sets, backbones, settings, tables and more."""
