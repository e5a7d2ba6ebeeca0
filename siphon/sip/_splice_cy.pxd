# Declarations of _splice_cy.py: what the short ways of the engine need of it.

cpdef bytes apply_splices(bytes raw, splices)
cpdef bytes pack_splices(splices)
