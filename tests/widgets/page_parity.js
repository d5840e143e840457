// What the page's model says of each case: every output and every attention.
answer(data.cases.map(({ rgb, text, patches, pieces }) => {
  const given = model.inputs(bytes(rgb), text);
  const maps = { language: [], vision: [], fusion: [], cross: [] };
  const out = model.outputs(given, { patches, pieces }, maps);
  const places = given.tokens.ids.keys().filter((place) => place % 9 === 1).toArray();
  const all = (values) => (values.some((v) => v === null) ? null : Float32Array.from(values.flatMap((v) => [...v])));
  const found = {
    text: out.text, image: out.patches, fused: out.fused,
    text_embedding: model.textEmbedding(out.text), image_embedding: model.imageEmbedding(out.patches),
    itc: Float32Array.of(model.itc(out)), itm: Float32Array.of(model.itm(out)), box: Float32Array.from(model.box(out)),
    imlm: all(places.map((place) => model.imlm(out, place))), mlm: all(places.map((place) => model.mlm(out, place))),
    mim: model.mim(out.patches), pixels: model.pixels(given.rgb),
    ...Object.fromEntries(Object.entries(maps).map(([name, layers]) => [`map ${name}`, all(layers)])),
  };
  return Object.fromEntries(Object.entries(found).map(([name, values]) => [name, coded(values)]));
}));
