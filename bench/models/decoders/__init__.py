"""From the features of a backbone to class maps: one file a decoder."""
