#!/usr/bin/env python3
"""Write PDFs of a few lines each, quickly, for the tests of docindex.

    make-pdf.py FILE TEXT...        one page for each TEXT
    make-pdf.py -n N FILE TEXT      N pages; %d in TEXT is the page's number

A line of TEXT is a line on the page; ASCII only.  The files are as small as
PDFs can be, and valid: qpdf --check has nothing to say about them.
"""
import sys


def content(text):
    """What draws the lines of text from the top of the page down."""
    lines = []
    for line in text.split("\n"):
        for c in "\\()":
            line = line.replace(c, "\\" + c)
        lines.append("(%s) Tj T*" % line)
    return "BT /F 10 Tf 12 TL 40 800 Td %s ET" % "\n".join(lines)


def pdf(texts):
    """The file: catalog, pages, font, then a page and its content each."""
    kids = " ".join("%d 0 R" % (4 + 2 * i) for i in range(len(texts)))
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(texts)),
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for i, text in enumerate(texts):
        stream = content(text)
        objects.append("<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]"
                       "/Resources<</Font<</F 3 0 R>>>>/Contents %d 0 R>>"
                       % (5 + 2 * i))
        objects.append("<</Length %d>>stream\n%s\nendstream"
                       % (len(stream), stream))
    out, at = ["%PDF-1.4\n"], []
    size = len(out[0])
    for i, body in enumerate(objects):
        at.append(size)
        out.append("%d 0 obj\n%s\nendobj\n" % (i + 1, body))
        size += len(out[-1])
    out.append("xref\n0 %d\n0000000000 65535 f \n" % (len(at) + 1))
    out.extend("%010d 00000 n \n" % offset for offset in at)
    out.append("trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n"
               % (len(at) + 1, size))
    return "".join(out).encode("ascii")


def main(args):
    if args[0] == "-n":
        count, file, text = int(args[1]), args[2], args[3]
        texts = [text.replace("%d", str(i + 1)) for i in range(count)]
    else:
        file, texts = args[0], args[1:]
    with open(file, "wb") as out:
        out.write(pdf(texts))


if __name__ == "__main__":
    main(sys.argv[1:])
