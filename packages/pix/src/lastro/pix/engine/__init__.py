"""What Pix can do. One function is one business act and at most one script; each takes the ``Pix`` it works on.

``orders`` submit and look up · ``settlement`` confirm, accept, settle · ``deadlines`` expire · ``refunds`` give back ·
``accounts`` fund, suspend, statement · ``outbox`` read answers · ``letters`` the dead ones · ``retention`` archive and
trim · ``reconcile`` prove that it all adds up · ``figures`` what the monitor shows.
"""
