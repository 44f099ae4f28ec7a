"""Work that is not done event by event: started by hand or every so often, as Dask tasks over the log."""
