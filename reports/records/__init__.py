"""What a run and a study leave on disk, written by bench and read by reports."""
