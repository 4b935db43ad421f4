FROM no:1
