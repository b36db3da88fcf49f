// Draws heads with a beard and heads with long hair at 32 pixels: node partners.mjs TRAIN HELD_OUT → beard.bin …
import { writeFileSync } from 'node:fs'
import { createAvatar } from '@dicebear/core'
import * as toonHead from '@dicebear/toon-head'
import { Resvg } from '@resvg/resvg-js'

const [train, heldOut] = process.argv.slice(2).map(Number)
const backgroundColor = ['b6e3f4', 'c0aede', 'd1d4f9', 'ffd5dc', 'ffdfbf']
const looks = {
  beard: { beardProbability: 100, rearHairProbability: 0 },
  hair: { beardProbability: 0, rearHairProbability: 100 },
}
const draw = (seed, look) => {
  const head = createAvatar(toonHead, { seed, backgroundColor, ...looks[look] })
  const font = { loadSystemFonts: false } // a head has no letters, and looking for fonts takes longer than drawing
  return new Resvg(head.toString(), { font, fitTo: { mode: 'width', value: 32 } }).render().pixels
}
// Two heaps without a person in common; the partners of the bearded ones; and held-out people, drawn both ways.
const people = (name, count) => [...Array(count).keys()].map((i) => `${name}-${i}`)
const heaps = {
  beard: [people('beard', train), 'beard'],
  hair: [people('hair', train), 'hair'],
  beard_partner: [people('beard', train), 'hair'],
  test_beard: [people('pair', heldOut), 'beard'],
  test_hair: [people('pair', heldOut), 'hair'],
}
for (const [name, [seeds, look]] of Object.entries(heaps)) {
  writeFileSync(`${name}.bin`, Buffer.concat(seeds.map((seed) => draw(seed, look))))
}
