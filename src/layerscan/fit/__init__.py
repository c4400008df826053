"""Does it fit? What a device's update client would answer, and what is true.

Four policies answer: three have the rules of clients, bit for bit; ``exact`` counts every
block. Each is a function of values: an App's ``contents`` and a ``device``. What they
answer is a ``verdict``. ``difference`` holds two Apps against each other.

Where values come from: ``sources`` finds what is named on the command line,
``contents`` reads what an App consists of, ``figures`` its metadata,
``device_file`` a description of a device, and ``live`` this machine.
"""
