"""What learns: the kernel with its streaming tables and ranker, and every model that can stand beside them.

The default recommender (:mod:`~rtrec.models.blend`) tests and learns each event in compiled code
(:mod:`~rtrec.models.kernel`): tables of items (:mod:`~rtrec.models.tables`), users
(:mod:`~rtrec.models.users`), candidates with features (:mod:`~rtrec.models.candidates`), and a ranker that
blends what they say (:mod:`~rtrec.models.ranker`). Models fitted on history (:mod:`~rtrec.models.nearline`)
publish tables for it; streaming factor models (:mod:`~rtrec.models.streaming`) and models of your own
(:mod:`~rtrec.models.base`) are tested under the same rules. :mod:`~rtrec.models.registry` has all of them by
name.
"""
