"""The page that ``--html`` writes: a store as a picture and a table, in a file of its own."""
