"""Raw folders of nnU-Net: read as a data set, and written from any other one."""
