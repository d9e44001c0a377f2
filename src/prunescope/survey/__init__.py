"""Human studies: tasks frozen from a run, the server that asks them and loses no answer, export and analysis."""
