"""What can name a patient: found with position, kind and confidence, then masked, replaced or kept.

Rules and lists only, standard library, nothing leaves the process. A finding never holds the text it is
about. Rules cannot find everything: what they find on made-up notes is measured (`measure`) and said.
"""
