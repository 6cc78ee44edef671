"""Components that come with the package. Each is a section whose keys are its parameters."""
