"""Outside formats, one a file: each turns what others publish into the frames of the contract."""
