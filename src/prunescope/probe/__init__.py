"""One look over the images: what every unit of every layer puts out, summed up for all measures at once."""
