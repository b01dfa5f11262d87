"""The wizard: one flow as data, three fronts that show it. Screens only: it asks, shows, calls the rest."""
