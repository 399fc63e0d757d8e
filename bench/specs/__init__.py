"""What a run is, as frozen data: protocol, presets, run spec, names of files below --out."""
